from control.main import main

main()

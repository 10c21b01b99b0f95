from monitoring.main import main

main()

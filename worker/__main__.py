"""`python -m worker`"""

from worker.celery.app import main

main()

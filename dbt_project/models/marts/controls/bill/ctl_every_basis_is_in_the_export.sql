select
    billing_month,
    payer_account_id,
    cost_basis,
    case when is_known then 0 end as expected_usd,
    case when is_known then 0 end as actual_usd,
    case when is_known then 0 end as residual_usd,
    is_known as is_passed,
    case
        when is_known then 'the exports have every column that it needs'
        else
            'unknown, and null in every table: ' || missing_in || ' has no column '
            || missing_columns
    end as evidence
from {{ ref('int_bases__known') }}

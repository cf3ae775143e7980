with

{{ billed_payers() }},

aws_split_rows as (

    select
        billing_month,
        payer_account_id,
        count(*) as row_count,
        sum(abs(unblended_usd)) as unblended_usd
    from {{ ref('int_bill_lines__costed') }}
    where is_aws_split_row
    group by billing_month, payer_account_id

),

final as (

    select
        payers.billing_month,
        payers.payer_account_id,
        'unblended' as cost_basis,
        0 as expected_usd,
        coalesce(aws_split_rows.unblended_usd, 0) as actual_usd,
        coalesce(aws_split_rows.unblended_usd, 0) as residual_usd,
        coalesce(aws_split_rows.unblended_usd, 0) = 0 as is_passed,
        coalesce(aws_split_rows.row_count, 0)
        || ' rows of AWS''s own split, which must bill nothing' as evidence
    from payers
    left join aws_split_rows
        on
            payers.billing_month = aws_split_rows.billing_month
            and payers.payer_account_id = aws_split_rows.payer_account_id

)

select * from final
